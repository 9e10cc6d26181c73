package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"ferry"
)

var background = context.Background()

// peer connects to the peer and tells it how to behave.
func peer(e *ferry.Engine, line string) *ferry.Conn {
	c, err := e.Dial("tcp", os.Getenv("FERRY_PEER"))
	check(err)
	write(c, []byte(line+"\n"))
	return c.(*ferry.Conn)
}

func write(c net.Conn, bytes []byte) {
	n, err := c.Write(bytes)
	check(err)
	expect("written", n, len(bytes))
}

func readAll(c io.Reader) []byte {
	got, err := io.ReadAll(c)
	check(err)
	return got
}

func pattern(from, to int) []byte {
	bytes := make([]byte, to-from)
	for i := range bytes {
		bytes[i] = byte(from + i)
	}
	return bytes
}

func random(size int) []byte {
	bytes := make([]byte, size)
	rand.Read(bytes)
	return bytes
}

func same(got, want []byte) {
	if !bytes.Equal(got, want) {
		panic(failed(fmt.Sprintf("%d other bytes than the %d expected", len(got), len(want))))
	}
}

func listen(e *ferry.Engine) net.Listener {
	l, err := e.Listen("tcp", "127.0.0.1:0")
	check(err)
	return l
}

// serveEcho serves until the listener closes; wait waits for all connections to end.
func serveEcho(l net.Listener) (wait func()) {
	var group sync.WaitGroup
	group.Add(1)
	go func() {
		defer group.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			group.Add(1)
			go func() {
				defer group.Done()
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return group.Wait
}

func roundTrip(c net.Conn, message []byte) {
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(message)
		sent <- err
	}()
	back := make([]byte, len(message))
	_, err := io.ReadFull(c, back)
	check(err)
	check(<-sent)
	same(back, message)
}

// together runs so many goroutines and fails with the first one's failure.
func together(count int, each func(i int)) {
	problems := make(chan any, count)
	for i := 0; i < count; i++ {
		go func(i int) {
			defer func() { problems <- recover() }()
			each(i)
		}(i)
	}
	for i := 0; i < count; i++ {
		if problem := <-problems; problem != nil {
			panic(problem)
		}
	}
}

func refusingAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	defer l.Close()
	return l.Addr().String()
}

func countOf(c *ferry.Conn, sent []byte) {
	check(c.CloseWrite())
	hash := sha256.Sum256(sent)
	expect("the peer's count", string(readAll(c)),
		fmt.Sprintf("%d %s\n", len(sent), hex.EncodeToString(hash[:])))
}

func init() {
	add("echo", func(e *ferry.Engine) {
		l := listen(e)
		wait := serveEcho(l)
		c, err := e.Dial("tcp", l.Addr().String())
		check(err)
		for i := 0; i < 100; i++ {
			roundTrip(c, random(1+i*65535/99))
		}
		check(c.Close())
		check(l.Close())
		wait()
	})
	add("echo-many", func(e *ferry.Engine) {
		l := listen(e)
		wait := serveEcho(l)
		together(64, func(int) {
			c, err := e.Dial("tcp", l.Addr().String())
			check(err)
			defer c.Close()
			for i := 0; i < 20; i++ {
				roundTrip(c, random(1+rand.Intn(2000)))
			}
		})
		check(l.Close())
		wait()
	})
	add("receive-short", func(e *ferry.Engine) {
		c := peer(e, "drip 20 1")
		defer c.Close()
		var got []byte
		for {
			buffer := make([]byte, 100)
			n, err := c.Read(buffer)
			got = append(got, buffer[:n]...)
			if err == io.EOF {
				break
			}
			check(err)
		}
		same(got, pattern(0, 20))
	})
	add("receive-exactly", func(e *ferry.Engine) {
		c := peer(e, "bytes 100000")
		defer c.Close()
		at := 0
		for _, size := range []int{1, 99, 65536} {
			got := make([]byte, size)
			_, err := io.ReadFull(c, got)
			check(err)
			same(got, pattern(at, at+size))
			at += size
		}
		n, err := io.ReadFull(c, make([]byte, 100000))
		fails(err, io.ErrUnexpectedEOF)
		expect("bytes of the last read", n, 100000-at)
		// The engine's own operation says the same.
		c2 := peer(e, "bytes 10")
		defer c2.Close()
		result, err := e.Do(background, ferry.ReceiveExactly(c2.Handle(), 20))
		fails(err, ferry.ErrEnd, io.ErrUnexpectedEOF)
		same(result.Data, pattern(0, 10))
	})
	add("receive-until", func(e *ferry.Engine) {
		c := peer(e, "lines 1000")
		defer c.Close()
		for i := 0; i < 1000; i++ {
			line, err := c.ReadUntil([]byte("\n"), 100)
			check(err)
			expect("line", string(line), fmt.Sprintf("line %d\n", i))
		}
		_, err := c.ReadUntil([]byte("\n"), 100)
		fails(err, io.EOF)
		c2 := peer(e, "lines 1000")
		defer c2.Close()
		_, err = c2.ReadUntil([]byte("\n"), 3)
		fails(err, ferry.ErrLimit)
		scanner := bufio.NewScanner(c2)
		for i := 0; scanner.Scan(); i++ {
			expect("line", scanner.Text(), fmt.Sprintf("line %d", i))
		}
		c3 := peer(e, "lines 3")
		defer c3.Close()
		result, err := e.Do(background, ferry.ReceiveUntil(c3.Handle(), "1\n", 100))
		check(err)
		expect("until", string(result.Data), "line 0\nline 1\n")
		expect("the rest", string(readAll(c3)), "line 2\n")
	})
	add("receive-lent", func(e *ferry.Engine) {
		c := peer(e, "bytes 10000000")
		defer c.Close()
		buffer := make([]byte, 100000)
		at := 0
		for {
			n, err := c.Read(buffer)
			same(buffer[:n], pattern(at, at+n))
			at += n
			if err == io.EOF {
				break
			}
			check(err)
		}
		expect("bytes", at, 10000000)
	})
	add("send-large", func(e *ferry.Engine) {
		c := peer(e, "count")
		defer c.Close()
		sent := random(8 << 20)
		write(c, sent)
		// Blocking writes that do not wait for each other come from several goroutines, in no order:
		// so they all send the same byte.
		sizes := make(chan int, 300)
		total := 0
		for i := 0; i < 300; i++ {
			size := 1 + rand.Intn(2000)
			total += size
			sizes <- size
		}
		same := bytes.Repeat([]byte{7}, total)
		together(300, func(int) { write(c, same[:<-sizes]) })
		countOf(c, append(sent, same...))
	})
	add("send-vectored", func(e *ferry.Engine) {
		c := peer(e, "count")
		defer c.Close()
		var pieces net.Buffers
		var sent []byte
		for i := 0; i < 100; i++ {
			piece := random(1 + rand.Intn(3000))
			pieces = append(pieces, piece)
			sent = append(sent, piece...)
		}
		n, err := c.WriteBuffers(pieces)
		check(err)
		expect("written", n, int64(len(sent)))
		countOf(c, sent)
	})
	add("backpressure", func(e *ferry.Engine) {
		c := peer(e, "slow 65536")
		defer c.Close()
		check(c.SetWriteBuffer(64 << 10))
		sent := random(4 << 20)
		begin := time.Now()
		for at := 0; at < len(sent); at += 64 << 10 {
			write(c, sent[at:at+64<<10])
		}
		// 4 MiB in pieces of 64 KiB each 10 ms; what the system holds need not have been read yet.
		if took := time.Since(begin); took < 20*time.Millisecond {
			panic(failed(fmt.Sprint("all was taken within ", took)))
		}
		countOf(c, sent)
		// The other direction: who does not read is not sent to without end.
		l := listen(e)
		defer l.Close()
		var taken int64
		together(2, func(i int) {
			if i == 0 {
				c, err := l.Accept()
				check(err)
				defer c.Close()
				c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
				for {
					n, err := c.Write(make([]byte, 64<<10))
					atomic.AddInt64(&taken, int64(n))
					if err != nil {
						fails(err, os.ErrDeadlineExceeded)
						return
					}
				}
			}
			c, err := e.Dial("tcp", l.Addr().String())
			check(err)
			defer c.Close()
			_, err = c.Read(make([]byte, 1))
			check(err)
			rest := readAll(c)
			expect("bytes", int64(len(rest)+1), atomic.LoadInt64(&taken))
		})
	})
	add("half-close", func(e *ferry.Engine) {
		c := peer(e, "echo")
		defer c.Close()
		message := random(100000)
		go c.Write(message[:50000])
		back := make([]byte, 50000)
		_, err := io.ReadFull(c, back)
		check(err)
		same(back, message[:50000])
		write(c, message[50000:])
		check(c.CloseWrite())
		same(readAll(c), message[50000:])
		_, err = c.Write([]byte("x"))
		fails(err, ferry.ErrBrokenPipe, syscall.EPIPE)
	})
	add("peer-reset", func(e *ferry.Engine) {
		c := peer(e, "reset 10")
		defer c.Close()
		got := make([]byte, 10)
		_, err := io.ReadFull(c, got)
		check(err)
		same(got, pattern(0, 10))
		write(c, []byte("x"))
		_, err = c.Read(got)
		fails(err, ferry.ErrConnectionReset, syscall.ECONNRESET)
		_, err = c.Write([]byte("x"))
		failsWith(err, syscall.ECONNRESET, syscall.EPIPE)
	})
	add("connect-refused", func(e *ferry.Engine) {
		_, err := e.Dial("tcp", refusingAddress())
		fails(err, ferry.ErrConnectionRefused, syscall.ECONNREFUSED)
	})
	add("connect-name", func(e *ferry.Engine) {
		_, port, _ := net.SplitHostPort(os.Getenv("FERRY_PEER"))
		for _, network := range []string{"tcp", "tcp4"} {
			c, err := e.Dial(network, "localhost:"+port)
			check(err)
			write(c, []byte("echo\n"))
			roundTrip(c, random(1000))
			check(c.Close())
		}
	})
	add("name-resolve", func(e *ferry.Engine) {
		found, err := e.Resolve(background, "ip", "localhost", 80)
		check(err)
		expect("loopback", found[0].Addr().IsLoopback(), true)
		expect("port", found[0].Port(), uint16(80))
	})
	add("name-failed", func(e *ferry.Engine) {
		_, err := e.Resolve(background, "ip", "nowhere.invalid", 80)
		failsWith(err, ferry.ErrNameNotFound, ferry.ErrNameTryAgain, ferry.ErrNameFailed)
	})
	add("socket", func(e *ferry.Engine) {
		l := listen(e)
		defer l.Close()
		a, err := e.Dial("tcp", l.Addr().String())
		check(err)
		defer a.Close()
		b, err := l.Accept()
		check(err)
		defer b.Close()
		expect("the peer's address", a.RemoteAddr().String(), b.LocalAddr().String())
		expect("the own address", a.LocalAddr().String(), b.RemoteAddr().String())
		expect("the listener's", a.RemoteAddr().String(), l.Addr().String())
		check(a.(*ferry.Conn).SetNoDelay(false))
		check(a.(*ferry.Conn).SetNoDelay(true))
		check(a.(*ferry.Conn).SetKeepAlivePeriod(time.Minute))
		fails(a.(*ferry.Conn).SetLinger(1<<20), ferry.ErrInvalid, syscall.EINVAL)
	})
	add("deadline", func(e *ferry.Engine) {
		c := peer(e, "silent-then 200")
		defer c.Close()
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := c.Read(make([]byte, 10))
		fails(err, ferry.ErrTimedOut, os.ErrDeadlineExceeded)
		expect("Timeout", err.(net.Error).Timeout(), true)
		c.SetReadDeadline(time.Time{})
		got := make([]byte, 5)
		_, err = io.ReadFull(c, got)
		check(err)
		expect("text", string(got), "late\n")
		// The same by the engine's own deadline.
		c2 := peer(e, "silent-then 100")
		defer c2.Close()
		_, err = e.Do(background, ferry.ReceiveFrom(c2.Handle()).Within(20*time.Millisecond))
		fails(err, ferry.ErrTimedOut)
		result, err := e.Do(background, ferry.ReceiveFrom(c2.Handle()))
		check(err)
		expect("text", string(result.Data), "late\n")
	})
	add("cancel-before", func(e *ferry.Engine) {
		ctx, cancel := context.WithCancel(background)
		cancel()
		c := peer(e, "echo")
		defer c.Close()
		fails(e.Sleep(ctx, time.Hour), context.Canceled, ferry.ErrCanceled)
		_, err := c.Receive(ctx, make([]byte, 1))
		fails(err, context.Canceled, ferry.ErrCanceled)
		_, err = e.DialContext(ctx, "tcp", os.Getenv("FERRY_PEER"))
		fails(err, context.Canceled)
	})
	add("cancel-during", func(e *ferry.Engine) {
		for _, receive := range []func(*ferry.Conn, context.Context) (string, error){
			func(c *ferry.Conn, ctx context.Context) (string, error) {
				buffer := make([]byte, 100)
				n, err := c.Receive(ctx, buffer)
				return string(buffer[:n]), err
			},
			func(c *ferry.Conn, ctx context.Context) (string, error) {
				result, err := e.Do(ctx, ferry.ReceiveInto(c.Handle(), 100))
				return string(result.Data), err
			},
		} {
			c := peer(e, "silent-then 100")
			ctx, cancel := context.WithCancel(background)
			time.AfterFunc(10*time.Millisecond, cancel)
			_, err := receive(c, ctx)
			fails(err, context.Canceled, ferry.ErrCanceled)
			text, err := receive(c, background)
			check(err)
			expect("text", text, "late\n")
			check(c.Close())
		}
	})
	add("cancel-after", func(e *ferry.Engine) {
		ctx, cancel := context.WithCancel(background)
		result, err := e.Do(ctx, ferry.All(ferry.SleepFor(0), ferry.SleepFor(0)))
		cancel()
		check(err)
		expect("results", len(result.Children), 2)
		check(result.Children[1].Err)
	})
	add("dropped", dropped)
	add("close-pending", func(e *ferry.Engine) {
		c := peer(e, "silent")
		done := make(chan error)
		go func() {
			_, err := c.Read(make([]byte, 1))
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		check(c.Close())
		fails(<-done, ferry.ErrClosed, net.ErrClosed)
		// The same for the engine's own operation.
		c = peer(e, "silent")
		go func() {
			_, err := e.Do(background, ferry.ReceiveFrom(c.Handle()))
			done <- err
		}()
		time.Sleep(10 * time.Millisecond)
		check(c.Close())
		fails(<-done, ferry.ErrClosed, net.ErrClosed)
	})
	add("close-twice", func(e *ferry.Engine) {
		c := peer(e, "echo")
		check(c.Close())
		check(c.Close())
		_, err := c.Read(make([]byte, 1))
		fails(err, ferry.ErrStale, net.ErrClosed)
		_, err = c.Write([]byte("x"))
		fails(err, ferry.ErrStale, net.ErrClosed)
		_, err = e.Do(background, ferry.ReceiveFrom(c.Handle()))
		fails(err, ferry.ErrStale)
		_, err = e.Do(background, ferry.CloseHandle(c.Handle()))
		check(err)
	})
	add("wrong-kind", func(e *ferry.Engine) {
		c := peer(e, "echo")
		defer c.Close()
		_, err := e.Do(background, ferry.ReadAt(c.Handle(), 10, 0))
		fails(err, ferry.ErrWrongKind)
	})
	add("foreign", func(e *ferry.Engine) {
		other := newEngine(nil)
		defer other.Close()
		c := peer(e, "echo")
		defer c.Close()
		_, err := other.Do(background, ferry.ReceiveFrom(c.Handle()))
		fails(err, ferry.ErrForeign)
	})
	add("two-engines", func(e *ferry.Engine) {
		other := newEngine(nil)
		l := listen(other)
		wait := serveEcho(l)
		c, err := e.Dial("tcp", l.Addr().String())
		check(err)
		for i := 0; i < 20; i++ {
			roundTrip(c, random(1+rand.Intn(5000)))
		}
		check(c.Close())
		check(l.Close())
		wait()
		check(other.Close())
	})
}

// Receives into memory that the engine writes to until it says otherwise are given up at random
// moments. No byte is lost or written where it does not belong: the whole comes in order.
func dropped(e *ferry.Engine) {
	for i := 0; i < 100; i++ {
		c := peer(e, "bytes 100000")
		at, gaveUp := 0, 0
		for {
			wait := time.Duration(rand.Intn(300)) * time.Microsecond
			var got []byte
			var err error
			switch rand.Intn(3) {
			case 0:
				var result ferry.Result
				ctx, cancel := context.WithTimeout(background, wait)
				result, err = e.Do(ctx, ferry.ReceiveInto(c.Handle(), 1+rand.Intn(5000)))
				cancel()
				got = result.Data
			case 1:
				var result ferry.Result
				result, err = e.Do(background, ferry.ReceiveInto(c.Handle(), 1+rand.Intn(5000)).Within(wait))
				got = result.Data
			case 2:
				result, _ := e.Do(background, ferry.Race(ferry.SleepFor(wait),
					ferry.ReceiveInto(c.Handle(), 1+rand.Intn(5000))))
				got, err = result.Children[1].Data, result.Children[1].Err
			}
			same(got, pattern(at, at+len(got)))
			at += len(got)
			if err != nil {
				failsWith(err, ferry.ErrCanceled, ferry.ErrTimedOut)
				gaveUp++
			}
			if at == 100000 || gaveUp > 50 {
				break
			}
		}
		// The last ones by Read, whose receive may be given up as well.
		buffer := make([]byte, 3000)
		for at < 100000 {
			c.SetReadDeadline(time.Now().Add(time.Duration(rand.Intn(300)) * time.Microsecond))
			n, err := c.Read(buffer)
			same(buffer[:n], pattern(at, at+n))
			at += n
			if err != nil {
				fails(err, os.ErrDeadlineExceeded)
			}
			if rand.Intn(20) == 0 {
				break // Forgotten in the middle, with bytes that nobody takes.
			}
		}
		check(c.Close())
	}
}
