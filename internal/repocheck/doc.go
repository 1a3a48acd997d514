// Package repocheck holds the repository to what it says of itself: the arrows between packages, the pages for people,
// the alert rules, the dashboard, and what the service is deployed with. It has tests only.
package repocheck
