package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/provenance/model"
)

func addTargets(command *cobra.Command, targets *[]string) {
	command.Flags().StringArrayVar(targets, "target", nil, "`NAME==VERSION` that is to run the model, as onnxruntime==1.20; what it is too old for is a finding (convrun inspect --help lists them)")
}

// parseTargets reads the targets; one that is named twice counts once.
func parseTargets(texts []string) (targets []model.Target, err error) {
	for _, text := range texts {
		target, err := model.ParseTarget(text)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(targets, func(t model.Target) bool { return t.String() == target.String() }) {
			targets = append(targets, target)
		}
	}
	return targets, nil
}
