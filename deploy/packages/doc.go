// Package packages holds what a release is made of: archives and packages of the program. It has tests only.
package packages
