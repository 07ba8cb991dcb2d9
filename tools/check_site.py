"""Fails where a page of a built site loads anything that is not in its own folder.

    check_site.py <folder>
"""

import html.parser
import pathlib
import re
import sys
import urllib.parse

# What a browser fetches by itself; a link is followed by the reader.
LOADS = {("img", "src"), ("script", "src"), ("source", "src"), ("iframe", "src"), ("object", "data"),
         ("video", "src"), ("audio", "src"), ("embed", "src"), ("img", "srcset"), ("source", "srcset")}
FETCHED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect",
                 "dns-prefetch", "manifest"}


class Loads(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.found += [value for name, value in attributes if (tag, name) in LOADS and value]
        if tag == "link" and FETCHED_LINKS & set((names.get("rel") or "").split()):
            self.found.append(names.get("href") or "")


def loads(path):
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".css":
        return re.findall(r"(?:url\(|@import\s+)['\"]?([^'\")\s;]+)", text)
    parser = Loads()
    parser.feed(text)
    return parser.found


def main(folder):
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in (".html", ".css")]
    pages = sum(path.suffix == ".html" for path in paths)
    bad = []
    for path in paths:
        for url in loads(path):
            parts = urllib.parse.urlsplit(url)
            if parts.scheme == "data":
                continue
            local = path.parent / urllib.parse.unquote(parts.path)
            if parts.scheme or parts.netloc or not local.is_file():
                bad.append(f"{path.relative_to(folder)}: {url}")
    if bad or not pages:
        sys.exit("\n".join(["These are not in the site:", *bad]))
    print(f"{pages} pages in {folder}; they load nothing from elsewhere")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
