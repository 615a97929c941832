//go:build tools

// Package tools names the commands that install.sh builds from this module as they are.
package tools

import _ "helm.sh/helm/v4/cmd/helm"
