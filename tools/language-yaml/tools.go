//go:build tools

// Package tools pins the YAML language host so that `go mod tidy` keeps it.
package tools

import _ "github.com/pulumi/pulumi-yaml/cmd/pulumi-language-yaml"
