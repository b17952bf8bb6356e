"""The page for people: what the model is, a place to drop a picture, and how programs ask.

Everything that comes from the model is escaped here; the script adds text by `textContent` alone.
"""

from convscope.evaluation.markup import count, percent
from convscope.serving.about import About
from convscope.text import html_text

MOST_SHOWN = 300

_PAGE = """<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>{model} · convscope serve</title>
    <link rel="icon" href="/static/icon.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/static/serve.css" />
    <script type="module" src="/static/serve.js"></script>
  </head>
  <body>
    <header>
      <p class="brand">convscope <span>serve</span></p>
      <h1>{model}</h1>
      <p class="lead">{lead}</p>
    </header>
    <main>
      <section class="try" aria-label="Try it">
        <div id="drop" class="drop">
          <img id="picture" alt="" hidden />
          <p id="hint">Drop a picture here, or paste one</p>
          <p class="choices">
            <label class="button"
              >Choose a file<input id="file" type="file" accept="image/*"
            /></label>
            <button id="example" type="button" class="button">Take the example</button>
          </p>
        </div>
        <div class="answer" aria-live="polite">
          <p id="message" class="quiet">The answer will stand here.</p>
          <ol id="guesses"></ol>
        </div>
        <noscript><p>Without JavaScript, ask it by the commands below.</p></noscript>
      </section>
      <section>
        <h2>{class_count} classes</h2>
        <ul class="classes" tabindex="0" aria-label="Classes">{classes}</ul>
      </section>
      <section>
        <h2>From a program</h2>
        <h3 id="shell">Shell</h3>
        <pre tabindex="0" aria-labelledby="shell"><code>{curl}</code></pre>
        <h3 id="python">Python</h3>
        <pre tabindex="0" aria-labelledby="python"><code>{python}</code></pre>
        <p class="quiet">
          The answer is JSON: the most probable classes with their probabilities, as many as
          <code>?top=</code> says. BMP, GIF, JPEG, PNG, PPM, TIFF and WebP are read; the network
          sees each picture as {size}.
        </p>
      </section>
    </main>
    <footer>
      <a href="/openapi.json">OpenAPI</a> <a href="/model">model</a>
      <a href="/metrics">metrics</a> <a href="/healthz">health</a>
    </footer>
  </body>
</html>
"""

_CURL = """curl --data-binary @picture.png -H 'Content-Type: image/png'{token} \\
  '{origin}/predict?top=3'"""

_PYTHON = """import json, pathlib, urllib.request

picture = pathlib.Path("picture.png").read_bytes()
headers = {{"Content-Type": "image/png"{token}}}
request = urllib.request.Request("{origin}/predict?top=3", picture, headers)
print(json.load(urllib.request.urlopen(request))["guesses"])"""


def page(about: About, origin: str, *, token: bool = False) -> str:
    """The page as HTML.

    Args:
        origin: the server's address, as in the commands.
        token: whether one is asked for; it is not shown.
    """
    how = about.preprocessing
    colours = "grey" if how.channels == 1 else "RGB"
    shell = ' \\\n  -H "Authorization: Bearer $CONVSCOPE_TOKEN"' if token else ""
    program = ', "Authorization": "Bearer " + os.environ["CONVSCOPE_TOKEN"]' if token else ""
    python = _PYTHON.format(origin=origin, token=program)
    if token:
        python = python.replace("import json, ", "import json, os, ")
    return _PAGE.format(
        model=html_text(about.model, 80),
        lead=_lead(about),
        class_count=count(len(about.classes)),
        classes=_classes(about.classes),
        curl=html_text_lines(_CURL.format(origin=origin, token=shell)),
        python=html_text_lines(python),
        size=f"{how.size[0]} × {how.size[1]} pixels, {colours}",
    )


def _lead(about: About) -> str:
    found = about.accuracy
    if found is None:
        return "It was not measured how often this network is right."
    low, high = found.interval
    return (
        f"Right about <strong>{percent(found.accuracy)}</strong> of {count(found.n)} test images "
        f"of {html_text(found.dataset, 80)} (95&nbsp;% interval {percent(low)} to {percent(high)})."
    )


def _classes(names: tuple[str, ...]) -> str:
    shown = "".join(f"<li><bdi>{html_text(name, 60)}</bdi></li>" for name in names[:MOST_SHOWN])
    more = len(names) - MOST_SHOWN
    return shown + (f'<li class="quiet">and {count(more)} more</li>' if more > 0 else "")


def html_text_lines(text: str) -> str:
    """Text of several lines, each safe in HTML."""
    return "\n".join(html_text(line, 1000) for line in text.split("\n"))
