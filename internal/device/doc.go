// Package device is what is known of each device, also after it has left: what its elements have said about its family,
// what it is by its owner's map or by its own word, and the reader that follows from these. And its Presence: whether
// it is there, and what became of what it sent.
//
// A Memory is a bounded table by IMEI. A session holds its device for as long as the connection lasts, a datagram for
// as long as it is in hand; what nobody holds goes when there is no room, the least recently used first. Records take
// no lock that sessions share: they load the device's reader, and only what they say for the first time takes the
// device's own lock.
//
// A Store keeps the devices beyond this process. It is asked in the background, from a device's login on, and nobody
// waits for it: until it has answered, and while it is away, a device is what its elements say.
package device
