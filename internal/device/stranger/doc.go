// Package stranger is what is known of connections and datagrams that never logged in: who knocked at which door, with
// which bytes, what these are, and the IMEI if they hold one.
//
// The doors tell a Ring, which keeps the last ones within bounds, so that no address pushes out the others. A Store
// shares them with other instances, or keeps them for the next process.
package stranger
