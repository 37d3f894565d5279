// Grafana's published schema of dashboards: reads files of dashboards, prints what in them the schema does not know or allow.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func check(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var read dashboard.Dashboard
	// Fields that the schema does not have, or that are missing, are errors.
	if err := some(read.UnmarshalJSONStrict(text)); err != nil {
		return err
	}
	if err := some(read.Validate()); err != nil {
		return err
	}
	// The strict reading passes over some objects within objects, so what the types do not take in counts as well.
	var taken dashboard.Dashboard
	if err := json.Unmarshal(text, &taken); err != nil {
		return err
	}
	written, err := json.Marshal(taken)
	if err != nil {
		return err
	}
	var before, after any
	if err := errors.Join(json.Unmarshal(text, &before), json.Unmarshal(written, &after)); err != nil {
		return err
	}
	return errors.Join(lost(path, before, after)...)
}

// An empty list of errors is none.
func some(err error) error {
	var all cog.BuildErrors
	if errors.As(err, &all) && len(all) == 0 {
		return nil
	}
	return err
}

// What the schema's types did not take in. What is empty may go.
func lost(path string, before, after any) []error {
	var all []error
	switch before := before.(type) {
	case map[string]any:
		after, _ := after.(map[string]any)
		for name, value := range before {
			all = append(all, lost(path+"."+name, value, after[name])...)
		}
	case []any:
		after, _ := after.([]any)
		for at, value := range before {
			var same any
			if at < len(after) {
				same = after[at]
			}
			all = append(all, lost(fmt.Sprintf("%s[%d]", path, at), value, same)...)
		}
	default:
		empty := before == nil || reflect.ValueOf(before).IsZero()
		if !empty && before != after {
			all = append(all, fmt.Errorf("%s: %v: not of the schema", path, before))
		}
	}
	return all
}

func main() {
	// Options of panels and queries are of the schema of their plugin.
	plugins.RegisterDefaultPlugins()
	failed := false
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			failed = true
		}
	}
	if failed {
		os.Exit(1)
	}
}
