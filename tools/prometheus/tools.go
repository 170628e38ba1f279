//go:build tools

// Package tools pins Prometheus' command so that `go mod tidy` keeps it.
package tools

import (
	_ "github.com/prometheus/prometheus/cmd/prometheus"
)
