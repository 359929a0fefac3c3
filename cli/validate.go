package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/aloft-run/aloft/core/spec"
	pb "github.com/aloft-run/aloft/gen/aloft/v1"
	"github.com/aloft-run/aloft/specfile"
)

// readFiles reads spec files whole, no further than a spec file may go.
func (a *app) readFiles(names []string) ([]*pb.SpecFile, error) {
	var files []*pb.SpecFile
	for _, name := range names {
		text, err := a.readFile(name)
		if err != nil {
			return nil, UsageError("spec file: %v", err)
		}
		files = append(files, &pb.SpecFile{Name: name, Text: text})
	}
	return files, nil
}

func (a *app) readFile(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(a.cfg.In, specfile.SizeMax+1))
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	if info, err := file.Stat(); err == nil && info.Size() > specfile.SizeMax {
		return nil, fmt.Errorf("%s has %d bytes; want at most %d", name, info.Size(), specfile.SizeMax)
	}
	return io.ReadAll(io.LimitReader(file, specfile.SizeMax+1)) // one more tells that it is too large
}

// checked reads files and refuses those with problems before a master is asked.
func (a *app) checked(names []string) ([]*pb.SpecFile, []*spec.Spec, error) {
	files, err := a.readFiles(names)
	if err != nil {
		return nil, nil, err
	}
	var specs []*spec.Spec
	var problems specfile.Problems
	for _, file := range files {
		read, err := specfile.Load(file.GetName(), file.GetText())
		specs = append(specs, read...)
		if found, bad := errors.AsType[specfile.Problems](err); bad {
			problems = append(problems, found...)
		} else if err != nil {
			return nil, nil, err
		}
	}
	if len(problems) > 0 {
		return nil, specs, &exitError{ExitUsage, problems}
	}
	return files, specs, nil
}

func (a *app) validate() *cobra.Command {
	return &cobra.Command{
		Use: "validate FILE...", Short: "Check spec files, without a master", Example: "  aloft validate web.yaml", Args: atLeastOneFile,
		RunE: func(cmd *cobra.Command, args []string) error {
			_, specs, err := a.checked(args)
			if a.json {
				return errors.Join(printJSON(cmd.OutOrStdout(), validityOf(specs, err)), err)
			}
			if err != nil {
				return err
			}
			for _, s := range specs {
				fmt.Fprintf(cmd.OutOrStdout(), "%s %s: valid\n", s.Kind, s.Name)
			}
			return nil
		},
	}
}

// validity is what validate prints as JSON.
type validity struct {
	Valid    bool      `json:"valid"`
	Specs    []string  `json:"specs"`
	Problems []problem `json:"problems"`
}

// problem is one thing that is wrong with a file, with the names of the API.
type problem struct {
	File    string `json:"file"`
	Line    int    `json:"line"`
	Column  int    `json:"column"`
	Field   string `json:"field"`
	Message string `json:"message"`
}

func validityOf(specs []*spec.Spec, err error) validity {
	v := validity{Valid: err == nil, Specs: []string{}, Problems: []problem{}}
	for _, s := range specs {
		v.Specs = append(v.Specs, string(s.Name))
	}
	found, bad := errors.AsType[specfile.Problems](err)
	if err != nil && !bad {
		v.Problems = append(v.Problems, problem{Message: err.Error()})
	}
	for _, p := range found {
		v.Problems = append(v.Problems, problem{File: p.File, Line: p.Line, Column: p.Column, Field: p.Field, Message: p.Message})
	}
	return v
}

func (*app) schema() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON Schema of spec files, for editors", Example: "  aloft schema > aloft.schema.json", Args: NoArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(spec.Schema()))
			return err
		},
	}
}
