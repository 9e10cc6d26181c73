// Echo server for tests/bench/load.c: a goroutine for each connection, on Ferry or on Go's own net.
//
//	echo ferry|ferry-thread|net
//
// Prints "port N", and when it is terminated what the binding did, as one JSON object. It has one core.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"ferry"
)

func serve(c net.Conn) {
	defer c.Close()
	buffer := make([]byte, 64<<10)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		if _, err := c.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func listen(which string) (net.Listener, error) {
	if which == "net" {
		return net.Listen("tcp", "127.0.0.1:0")
	}
	engine, err := ferry.New(&ferry.Options{NoThread: which == "ferry"})
	if err != nil {
		return nil, err
	}
	tellAtEnd(engine)
	return engine.Listen("tcp", "127.0.0.1:0")
}

func tellAtEnd(engine *ferry.Engine) {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGTERM)
	go func() {
		<-end
		info, err := engine.Info()
		if err != nil {
			log.Fatal(err)
		}
		json.NewEncoder(os.Stdout).Encode(map[string]uint64{"crossings": info.Crossings,
			"sleeps": info.Sleeps, "completions": info.Completions})
		os.Exit(0)
	}()
}

func main() {
	runtime.GOMAXPROCS(1)
	time.AfterFunc(100*time.Second, func() { log.Fatal("nobody ended it") })
	l, err := listen(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("port", l.Addr().(*net.TCPAddr).Port)
	for {
		c, err := l.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(c)
	}
}
