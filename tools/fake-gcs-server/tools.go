//go:build tools

// Package tools pins the emulator of Google's storage so that `go mod tidy` keeps it.
package tools

import _ "github.com/fsouza/fake-gcs-server"
