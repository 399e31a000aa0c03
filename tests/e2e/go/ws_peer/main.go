// Command ws_peer is a server of websockets and a client of them, both made of what Go programs use: coder/websocket and
// gorilla/websocket over HTTP/1, and coder/websocket over x/net/http2 for RFC 8441.
//
//	ws_peer serve  -library coder -listen 127.0.0.1:8080 [-http2]
//	ws_peer client -library coder -port 8080 [-http2] [-ca ca.pem] [-compress] [-sessions 4]
//
// The server writes a line of JSON for each socket that ended, the client one for each session.
package main

import (
	"encoding/json"
	"flag"
	"log"
	"os"
	"sync"
)

var output sync.Mutex

func printLine(value any) {
	output.Lock()
	defer output.Unlock()
	if err := json.NewEncoder(os.Stdout).Encode(value); err != nil {
		log.Fatal(err)
	}
}

type options struct {
	library, listen, port, ca string
	http2, compress           bool
	sessions                  int
}

func main() {
	if len(os.Args) < 2 {
		log.Fatal("ws_peer serve|client ...")
	}
	var o options
	flags := flag.NewFlagSet(os.Args[1], flag.ExitOnError)
	flags.StringVar(&o.library, "library", "coder", "or gorilla")
	flags.StringVar(&o.listen, "listen", "127.0.0.1:0", "where the server listens")
	flags.StringVar(&o.port, "port", "", "the client's peer on 127.0.0.1")
	flags.StringVar(&o.ca, "ca", "", "PEM file of the authority: the client speaks TLS")
	flags.BoolVar(&o.http2, "http2", false, "HTTP/2, with coder alone")
	flags.BoolVar(&o.compress, "compress", false, "the client offers permessage-deflate")
	flags.IntVar(&o.sessions, "sessions", 1, "of a client, all at once; over HTTP/2 on one connection")
	flags.Parse(os.Args[2:])
	if o.http2 && o.library != "coder" {
		log.Fatal("only coder takes a stream of HTTP/2")
	}
	switch os.Args[1] {
	case "serve":
		log.Fatal(serve(o))
	case "client":
		runClient(o)
	default:
		log.Fatal("neither serve nor client")
	}
}
