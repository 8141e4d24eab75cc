// Judges says what those conclude who wait for a resource: kstatus, by which Flux and Helm go, by its own code, and
// Argo CD, by its own interpreter of Lua.
//
// It reads JSON, {"scripts": {KIND: LUA}, "objects": [OBJECT, ...]}, and prints a list with one
// {"kstatus", "flux", "argo"} for each object, in their order.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	flux "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"
)

type question struct {
	Scripts map[string]string           `json:"scripts"`
	Objects []unstructured.Unstructured `json:"objects"`
}

type verdict struct {
	Kstatus string `json:"kstatus"`
	Flux    string `json:"flux"`
	Argo    string `json:"argo"`
}

func judge(object *unstructured.Unstructured, script string) (verdict, error) {
	ofSigs, err := status.Compute(object)
	if err != nil {
		return verdict{}, fmt.Errorf("kstatus: %w", err)
	}
	ofFlux, err := flux.Compute(object)
	if err != nil {
		return verdict{}, fmt.Errorf("kstatus as Flux has it: %w", err)
	}
	ofArgo, err := health(object.Object, script)
	if err != nil {
		return verdict{}, fmt.Errorf("the script of Argo CD: %w", err)
	}
	return verdict{string(ofSigs.Status), string(ofFlux.Status), ofArgo}, nil
}

func run() error {
	var asked question
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		return err
	}
	verdicts := make([]verdict, 0, len(asked.Objects))
	for _, object := range asked.Objects {
		found, err := judge(&object, asked.Scripts[object.GetKind()])
		if err != nil {
			return err
		}
		verdicts = append(verdicts, found)
	}
	return json.NewEncoder(os.Stdout).Encode(verdicts)
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
