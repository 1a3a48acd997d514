"""A receiver of batches: receiver.py PORT FILE. It answers when a batch is in the file for good."""
import gzip, http.server, json, os, sys

file = open(sys.argv[2], "a")


class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        records = json.loads(gzip.decompress(body))
        file.write("\n" + "".join(json.dumps(r) + "\n" for r in records))  # a killed one has left half a line
        file.flush()
        os.fsync(file.fileno())
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
