//go:build tools

// Package tools names the foreign programs, so that go.mod keeps their versions.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
