package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/pelletier/go-toml/v2"

	"github.com/convrun/convrun/provenance"
	"github.com/convrun/convrun/runner"
	"github.com/convrun/convrun/runner/python"
)

// settings are what configuration files may say. A project's file can name the
// model and the people, and nothing that could weaken a log.
type settings struct {
	Model       string            `toml:"model"`
	Responsible string            `toml:"responsible"`
	Context     map[string]string `toml:"context"`
	// Key is the private key to sign with: in the user's own file only.
	Key string `toml:"key"`
	// Redact are regular expressions of further secrets: not in a project's
	// file, which could take out with them what speaks against it.
	Redact []string `toml:"redact"`
	// Observe are Python functions to observe besides those that convrun knows.
	Observe []observed `toml:"observe"`
	// Targets are what the frozen models are meant for, as --target has them.
	Targets []string `toml:"targets"`
	// Waive accepts findings. It takes nothing out of a log: who may accept
	// what is for the reader, who is told the file.
	Waive []waiveSetting `toml:"waive"`
}

// observed is a function to observe, "MODULE:FUNCTION" or a table.
type observed struct {
	Function string   `toml:"function"`
	Model    string   `toml:"model"`
	Reads    []string `toml:"reads"`
	Writes   []string `toml:"writes"`
}

// UnmarshalText reads the short form.
func (o *observed) UnmarshalText(text []byte) error {
	o.Function = string(text)
	return nil
}

// function checks what was written.
func (o observed) function() (python.Function, error) {
	f, err := python.ParseFunction(o.Function)
	if err != nil {
		return f, err
	}
	f.Model, f.Reads, f.Writes = o.Model, o.Reads, o.Writes
	return f, f.Check()
}

// waiveSetting is one [[waive]] of a configuration file.
type waiveSetting struct {
	Finding string `toml:"finding"` // ID[:SUBJECT]
	Reason  string `toml:"reason"`
	By      string `toml:"by"`
}

const (
	projectConfig = "convrun.toml"
	userConfig    = "config.toml"
	// maxConfig bounds a configuration file, in bytes.
	maxConfig = 1 << 20
)

// sourced is a value and where it came from.
type sourced struct{ value, source string }

// override takes the value of a flag, else that of an environment variable, if
// one of them is given.
func (s *sourced) override(flag, variable string) {
	if value := os.Getenv(variable); value != "" {
		*s = sourced{value, "environment " + variable}
	}
	if flag != "" {
		*s = sourced{flag, "flag"}
	}
}

// configuration is all files together; the later a file is read, the more it
// counts: project, user, --config. Environment variables count more, and flags
// most.
type configuration struct {
	model, responsible, key sourced
	context, contextSources map[string]string
	redact                  []string
	// observe has each function once.
	observe []python.Function
	targets []string
	waivers []provenance.WaiverRule
	used    []provenance.ResourceDescriptor
}

// readConfiguration reads what there is; given is --config, which must exist.
func readConfiguration(given string) (configuration, error) {
	c := configuration{context: map[string]string{}, contextSources: map[string]string{}}
	if err := c.add(projectConfig, "project", false); err != nil {
		return c, err
	}
	if dir, err := configDir(); err == nil {
		if err := c.add(filepath.Join(dir, userConfig), "user", false); err != nil {
			return c, err
		}
	}
	if given != "" {
		return c, c.add(given, "given", true)
	}
	return c, nil
}

func (c *configuration) add(path, role string, mustExist bool) error {
	read := readRegular
	if role == "given" {
		read = readBounded // it may be a pipe of the shell's
	}
	data, err := read(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !mustExist:
		return nil
	case err != nil:
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	var s settings
	decoder := toml.NewDecoder(strings.NewReader(string(data))).DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		return withHint(fmt.Errorf("read configuration %s: %s", path, tomlProblem(err)), "docs/configuration.md lists the keys")
	}
	if role == "project" && s.Key != "" {
		return withHint(fmt.Errorf("read configuration %s: a project's file cannot choose the key", path), "put key = … into the user's own configuration, or use --key")
	}
	if role == "project" && s.Redact != nil {
		return withHint(fmt.Errorf("read configuration %s: a project's file cannot choose what is left out of the log", path), "put redact = … into the user's own configuration")
	}
	if _, err := runner.NewRedactor(nil, s.Redact); err != nil {
		return fmt.Errorf("read configuration %s: %w", path, err)
	}
	c.redact = append(c.redact, s.Redact...)
	if err := c.addObserved(s.Observe); err != nil {
		return withHint(fmt.Errorf("read configuration %s: observe: %w", path, err), "docs/configuration.md shows the forms")
	}
	source := "configuration " + path
	for _, field := range []struct {
		to    *sourced
		value string
	}{{&c.model, s.Model}, {&c.responsible, s.Responsible}, {&c.key, s.Key}} {
		if field.value != "" {
			*field.to = sourced{field.value, source}
		}
	}
	for name, value := range s.Context {
		c.context[name], c.contextSources[name] = value, source
	}
	if _, err := parseTargets(s.Targets); err != nil {
		return fmt.Errorf("read configuration %s: targets: %w", path, err)
	}
	c.targets = append(c.targets, s.Targets...)
	for _, w := range s.Waive {
		by := w.By
		if by == "" {
			by = provenance.Unknown + "the configuration does not say"
		}
		rule, err := waiverRule(w.Finding, provenance.Waiver{Reason: w.Reason, By: by, Source: source})
		if err != nil {
			return fmt.Errorf("read configuration %s: waive: %w", path, err)
		}
		c.waivers = append(c.waivers, rule)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	c.used = append(c.used, provenance.ResourceDescriptor{
		Name: path, URI: provenance.FileURI(absolute), Digest: map[string]string{"sha256": digest.FromBytes(data).Encoded()},
		Annotations: &provenance.Annotations{Role: role},
	})
	return nil
}

// addObserved adds to what is observed: no file takes away what another one
// names, but a later one may name its parameters anew.
func (c *configuration) addObserved(list []observed) error {
	for _, o := range list {
		f, err := o.function()
		if err != nil {
			return err
		}
		c.observe = append(slices.DeleteFunc(c.observe, func(old python.Function) bool { return old.String() == f.String() }), f)
	}
	return nil
}

func tomlProblem(err error) string {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) && len(strict.Errors) > 0 {
		first := strict.Errors[0]
		row, _ := first.Position()
		return fmt.Sprintf("line %d: %q is no key that convrun knows", row, strings.Join(first.Key(), "."))
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, column := decode.Position()
		return fmt.Sprintf("line %d, column %d: %s", row, column, decode.Error())
	}
	return err.Error()
}

// splitModel reads ID@VERSION; the last @ divides, and VERSION is required.
func splitModel(text string) (id, version string, err error) {
	at := strings.LastIndexByte(text, '@')
	if at <= 0 || at == len(text)-1 {
		return "", "", fmt.Errorf("model %q: expected ID@VERSION, for example resnet18@1.4", text)
	}
	return text[:at], text[at+1:], nil
}

// responsiblePerson is the flag's, the environment's or a file's, else git's,
// else the user's.
func responsiblePerson(configured sourced, git runner.Source, account string) provenance.Responsible {
	switch {
	case configured.value != "":
		if address, err := mail.ParseAddress(configured.value); err == nil {
			name := address.Name
			if name == "" {
				name = address.Address
			}
			return provenance.Responsible{Name: name, Email: address.Address, Source: configured.source}
		}
		return provenance.Responsible{Name: configured.value, Email: provenance.Unknown + "not given", Source: configured.source}
	case git.Name != "":
		if git.Email == "" {
			git.Email = provenance.Unknown + "git has no user.email"
		}
		return provenance.Responsible{Name: git.Name, Email: git.Email, Source: git.NameFrom}
	case account != "":
		return provenance.Responsible{Name: account, Email: provenance.Unknown + "not given", Source: "operating system user"}
	}
	return provenance.Responsible{
		Name: provenance.Unknown + "neither given nor known to git or the system", Email: provenance.Unknown + "not given", Source: "none",
	}
}

// expandHome lets a configured path start with "~/".
func expandHome(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		if home, err := os.UserHomeDir(); err == nil {
			return filepath.Join(home, rest)
		}
	}
	return path
}
