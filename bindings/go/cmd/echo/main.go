// Echo is a server that sends back what it gets: echo [ADDRESS].
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"ferry"
)

func serve(c net.Conn) {
	defer c.Close()
	if _, err := io.Copy(c, c); err != nil {
		log.Println(c.RemoteAddr(), err)
	}
}

func main() {
	address := "127.0.0.1:7777"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	engine, err := ferry.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	listener, err := engine.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", listener.Addr())
	for {
		c, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go serve(c)
	}
}
