// Filesizes loads all files named on the command line at the same time and prints their sizes.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"sync"
	"time"

	"ferry"
)

func main() {
	engine, err := ferry.New(nil)
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()

	var all sync.WaitGroup
	for _, name := range os.Args[1:] {
		all.Add(1)
		go func(name string) {
			defer all.Done()
			bytes, err := engine.LoadFile(ctx, name)
			switch {
			case errors.Is(err, os.ErrNotExist):
				fmt.Println(name, "is not there")
			case err != nil:
				fmt.Println(err)
			default:
				fmt.Println(name, len(bytes))
			}
		}(name)
	}
	all.Wait()
}
