// Command tls_origin is an HTTPS server of Go's own library: it answers what the request came by, and the size of its body.
package main

import (
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
)

func answer(w http.ResponseWriter, r *http.Request) {
	size, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return
	}
	w.Header().Set("Trailer", "X-End")
	fmt.Fprintf(w, "%s %s %s %d", r.Proto, r.Method, r.URL.Path, size)
	w.Header().Set("X-End", "yes")
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "where")
	certificate := flag.String("certificate", "", "PEM file")
	key := flag.String("key", "", "PEM file")
	http1 := flag.Bool("http1", false, "no HTTP/2")
	flag.Parse()
	server := &http.Server{Addr: *address, Handler: http.HandlerFunc(answer)}
	if *http1 {
		server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	}
	log.Fatal(server.ListenAndServeTLS(*certificate, *key))
}
