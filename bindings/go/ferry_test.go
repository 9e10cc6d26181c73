package ferry

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"ferry/raw"
)

// All tests run on both kinds of engine.
var noThread = os.Getenv("FERRY_GO_NO_THREAD") != ""

func newEngine(t testing.TB) *Engine {
	t.Helper()
	e, err := New(&Options{NoThread: noThread})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// settled waits until nothing is in flight or lent: what was given back is on its way to the engine.
func settled(t testing.TB, e *Engine) {
	t.Helper()
	var info Info
	for i := 0; i < 500; i++ {
		info, _ = e.Info()
		if info.OpsInFlight == 0 && info.HandlesOpen == 0 && info.BuffersLent == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Errorf("left over: %+v", info)
}

func TestLayout(t *testing.T) {
	if len(raw.Layout) < 200 {
		t.Fatalf("only %d places", len(raw.Layout))
	}
	for _, place := range raw.Layout {
		size, offset := layoutOf(place.Record, place.Field)
		if size != int32(place.Size) || offset != int32(place.Offset) {
			t.Errorf("%s.%s: %d bytes at %d, the library says %d at %d", place.Record, place.Field,
				place.Size, place.Offset, size, offset)
		}
	}
}

func TestEcho(t *testing.T) {
	e := newEngine(t)
	l, err := e.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		io.Copy(c, c)
		c.Close()
	}()
	c, err := e.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size < 1<<20; size = size*3 + 1 {
		message, back := make([]byte, size), make([]byte, size)
		rand.Read(message)
		go c.Write(message)
		if _, err := io.ReadFull(c, back); err != nil || !bytes.Equal(message, back) {
			t.Fatal(size, err)
		}
	}
	c.(*Conn).CloseWrite()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Fatal(n, err)
	}
	c.Close()
	l.Close()
	settled(t, e)
}

func TestFiles(t *testing.T) {
	e := newEngine(t)
	name := filepath.Join(t.TempDir(), "file")
	ctx := context.Background()
	if _, err := e.LoadFile(ctx, name); !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	if err := e.StoreFile(ctx, name, []byte("hello"), 0600); err != nil {
		t.Fatal(err)
	}
	if got, err := e.LoadFile(ctx, name); err != nil || string(got) != "hello" {
		t.Fatal(got, err)
	}
	result, err := e.Do(ctx, Chain(OpenAt(name, os.O_RDONLY, 0), ReadAt(Opened(0), 3, 1), CloseHandle(Opened(0))))
	if err != nil || string(result.Children[1].Data) != "ell" {
		t.Fatal(result, err)
	}
	settled(t, e)
}

func TestSleep(t *testing.T) {
	e := newEngine(t)
	begin := time.Now()
	if err := e.Sleep(context.Background(), 20*time.Millisecond); err != nil || time.Since(begin) < 20*time.Millisecond {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(time.Millisecond, cancel)
	if err := e.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	settled(t, e)
}

var _ net.Error = (*Error)(nil)
