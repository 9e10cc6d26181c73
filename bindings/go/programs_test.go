package ferry

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func build(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if out, err := exec.Command("go", "build", "-o", path, program).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	return path
}

// The README's program is the one that is built, and does what it says.
func TestReadmeProgram(t *testing.T) {
	source, err := os.ReadFile("cmd/filesizes/main.go")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```go\n"+string(source)+"```\n") {
		t.Error("README.md does not hold cmd/filesizes/main.go as it is")
	}
	folder := t.TempDir()
	there, missing := filepath.Join(folder, "there"), filepath.Join(folder, "missing")
	if err := os.WriteFile(there, make([]byte, 12345), 0600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(build(t, "./cmd/filesizes"), there, missing).CombinedOutput()
	if err != nil || !strings.Contains(string(out), there+" 12345\n") ||
		!strings.Contains(string(out), missing+" is not there\n") {
		t.Error(err, string(out))
	}
}

// The echo server, spoken to by Go's own net.
func TestEchoServer(t *testing.T) {
	server := exec.Command(build(t, "./cmd/echo"), "127.0.0.1:0")
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		server.Process.Kill()
		server.Wait()
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", strings.TrimSpace(strings.TrimPrefix(line, "listening on ")))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	message := strings.Repeat("again and ", 10000)
	go func() {
		c.Write([]byte(message))
		c.(*net.TCPConn).CloseWrite()
	}()
	if back, err := io.ReadAll(c); err != nil || string(back) != message {
		t.Error(len(back), err)
	}
}
