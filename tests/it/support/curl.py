#!/usr/bin/env python3
"""As much of curl as the README needs, for machines without it."""

import sys
import urllib.error
import urllib.request

arguments = sys.argv[1:]
url, headers, method, body = None, {}, None, None
while arguments:
    word = arguments.pop(0)
    if word == "-H":
        name, value = arguments.pop(0).split(":", 1)
        headers[name] = value.strip()
    elif word == "-d":
        body = arguments.pop(0).encode()
    elif word == "-T":
        body, method = open(arguments.pop(0), "rb").read(), method or "PUT"
    elif word == "-X":
        method = arguments.pop(0)
    elif word.startswith("-"):
        sys.exit(f"curl.py does not know {word}")
    else:
        url = word if "://" in word else "http://" + word
try:
    answer = urllib.request.urlopen(urllib.request.Request(url, body, headers, method=method))
except urllib.error.HTTPError as error:
    answer = error
sys.stdout.write(answer.read().decode())
