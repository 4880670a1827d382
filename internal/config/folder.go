package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// connectorFileTypes are what the names of connector files end in, in small or
// capital letters.
var connectorFileTypes = []string{".yaml", ".yml", ".json"}

// passedOver tells whether an entry of the connectors' folder is no connector
// file, and why that is worth a warning. Hidden entries are not: they include
// ..data and its like, which Kubernetes puts into a mounted folder.
func passedOver(path string) (skip bool, why string) {
	name := filepath.Base(path)
	if strings.HasPrefix(name, ".") {
		return true, ""
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return true, "is a folder and is passed over: connector files lie in connectors_dir itself"
	}
	if !slices.Contains(connectorFileTypes, strings.ToLower(filepath.Ext(name))) {
		return true, "is passed over: the names of connector files end in .yaml, .yml or .json"
	}
	return false, ""
}
