// Echo server for tests/bench/load.c: a goroutine for each connection, on Ferry or on Go's own net.
//
//	echo ferry|net
//
// Prints "port N".
package main

import (
	"fmt"
	"log"
	"net"
	"os"
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
	engine, err := ferry.New(nil)
	if err != nil {
		return nil, err
	}
	return engine.Listen("tcp", "127.0.0.1:0")
}

func main() {
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
