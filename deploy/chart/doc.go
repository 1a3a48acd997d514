// Package chart tests the Helm chart beside it. There is no cluster in these tests: what they see is what Helm makes of
// the chart, held to Kubernetes' schemas and to the program.
package chart
