// Package examples holds no code but the tests that run the examples, each by the commands of its README, against the
// real service.
package examples
