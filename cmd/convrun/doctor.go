package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/convrun/convrun/printable"
	"github.com/convrun/convrun/runner/trace"
	"github.com/convrun/convrun/sign"
)

func newDoctorCommand() *cobra.Command {
	var asJSON bool
	command := &cobra.Command{
		Use: "doctor", Short: "tell what convrun can see and keep on this machine", Args: cobra.NoArgs,
		Long: `doctor tries each method of watching a command with a real process, best first,
and says why one does not work. A run takes the first that works. It also looks
at the folders that convrun keeps things in, and at the key for a run without
--key.

Status 1 means that no command can be traced here: its working directory would
only be compared before and after, and its log would say so.` + exitHelp("0", "1", "2", "4"),
		Example: "  convrun doctor\n  convrun doctor --json",
		RunE:    func(c *cobra.Command, _ []string) error { return runDoctor(c.OutOrStdout(), asJSON) },
	}
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return command
}

// diagnosis is what doctor finds.
type diagnosis struct {
	Version string `json:"version"`
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	// Methods are in the order in which a run tries them; Method is the one
	// that it takes.
	Methods []trace.Rung `json:"methods"`
	Method  string       `json:"method"`
	Folders []place      `json:"folders"`
	Key     place        `json:"key"`
}

// place is a folder or file of convrun's own.
type place struct {
	Name string `json:"name"`
	Path string `json:"path"`
	OK   bool   `json:"ok"`
	// Says is why it is not, or what else there is to say of it.
	Says string `json:"says"`
}

func runDoctor(out io.Writer, asJSON bool) error {
	d := diagnosis{Version: toolVersion(), OS: runtime.GOOS, Arch: runtime.GOARCH, Methods: trace.Rungs(), Key: lookAtKey()}
	for _, rung := range d.Methods {
		if rung.Works && d.Method == "" {
			d.Method = rung.Method
		}
	}
	for _, folder := range []struct {
		name string
		find func() (string, error)
	}{{"configuration", configDir}, {"cache", cacheDir}, {"state", stateDir}} {
		d.Folders = append(d.Folders, lookAtFolder(folder.name, folder.find))
	}
	var text bytes.Buffer
	if asJSON {
		encoder := json.NewEncoder(&text)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(d); err != nil {
			return err
		}
	} else {
		d.print(&text)
	}
	if _, err := text.WriteTo(out); err != nil {
		return err
	}
	if d.Method == trace.Snapshot {
		return withStatus(exitFailed, nil)
	}
	return nil
}

// lookAtFolder tries to write into a folder of convrun's own.
func lookAtFolder(name string, find func() (string, error)) place {
	p := place{Name: name}
	var err error
	if p.Path, err = find(); err == nil {
		err = os.MkdirAll(p.Path, 0o700)
	}
	if err == nil {
		var file *os.File
		if file, err = os.CreateTemp(p.Path, "doctor-"); err == nil {
			file.Close()
			err = os.Remove(file.Name())
		}
	}
	if p.OK = err == nil; err != nil {
		p.Says = err.Error()
	}
	return p
}

// lookAtKey finds the key that a run without --key signs with.
func lookAtKey() place {
	p := place{Name: "key"}
	config, err := readConfiguration("")
	if err != nil {
		p.Says = err.Error()
		return p
	}
	if p.Path = expandHome(config.key.value); p.Path == "" {
		dir, err := configDir()
		if err != nil {
			p.Says = err.Error()
			return p
		}
		p.Path = filepath.Join(dir, "keys", localKeyName+".key")
		if _, err := os.Stat(p.Path); os.IsNotExist(err) {
			p.OK, p.Says = true, "not there yet: the first run makes it"
			return p
		}
	}
	if _, err := readBounded(p.Path, sign.MaxKeySize); err != nil {
		p.Says = err.Error()
		return p
	}
	p.OK = true
	return p
}

// print tells it to people, one fact a line.
func (d *diagnosis) print(out io.Writer) {
	line := func(label string, ok bool, text, says string) {
		mark := "ok"
		if !ok {
			mark = "no"
		}
		if says != "" && text != "" {
			text += ": "
		}
		fmt.Fprintf(out, "  %-3s %-15s %s\n", mark, label, printable.String(text+says))
	}
	fmt.Fprintf(out, "convrun %s %s/%s\nwatching a command, best method first\n", d.Version, d.OS, d.Arch)
	for _, rung := range d.Methods {
		text := ""
		switch rung.Method {
		case trace.Snapshot:
			text = "only compares folders before and after"
		case d.Method:
			text = "a run takes this one"
		}
		line(rung.Method, rung.Works, text, rung.Reason)
	}
	fmt.Fprintln(out, "keeping things")
	for _, p := range append(d.Folders, d.Key) {
		line(p.Name, p.OK, p.Path, p.Says)
	}
}
