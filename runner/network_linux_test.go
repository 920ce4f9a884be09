//go:build amd64 || arm64

package runner

import (
	"net"
	"slices"
	"strconv"
	"testing"
)

// TestConnects has a command talk to a real server.
func TestConnects(t *testing.T) {
	needTracing(t)
	folder(t, nil)
	server, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		for {
			connection, err := server.Accept()
			if err != nil {
				return
			}
			_, _ = connection.Write([]byte("x"))
			connection.Close()
		}
	}()
	address := server.Addr().(*net.TCPAddr)
	if o := observe(t, Command{}, "true"); len(o.Network) != 0 {
		t.Errorf("%q by a command that connects to nothing", o.Network)
	}
	script := `exec 3<>"/dev/tcp/127.0.0.1/$0"; cat <&3 > out`
	o := observe(t, Command{Argv: []string{"/bin/bash", "-c", script, strconv.Itoa(address.Port)}}, "")
	if !slices.Equal(o.Network, []string{"ip4 " + address.String()}) || !slices.ContainsFunc(o.Files, func(f File) bool { return f.SHA256 == sum("x") }) {
		t.Errorf("exit %d, %q", o.ExitCode, o.Network)
	}
}
