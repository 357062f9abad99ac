//go:build tools

// Package tools names the one program that this module exists to build, so that the module files keep it.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
