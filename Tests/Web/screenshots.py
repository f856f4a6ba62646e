"""Makes the pictures of the documentation from the mock server: docs/images/chat.png and docs/images/operator.png."""

import io
import threading
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from mock_server import OPERATOR_KEY, MockServer

LIMIT = 190_000  # bytes of a picture
IMAGES = Path(__file__).resolve().parents[2] / "docs" / "images"


def chat(page, server):
    page.goto(server.url)
    page.wait_for_selector("#model:enabled")
    page.select_option("#model", "kimi-k2-thinking")
    page.fill("#prompt", "Write a Swift function that merges two sorted arrays. Which edge cases matter?")
    page.press("#prompt", "Enter")
    page.wait_for_selector(".assistant[aria-busy=false]", timeout=60_000)
    page.click(".thinking summary")
    page.evaluate("document.getElementById('log').scrollTop = 0")
    page.wait_for_timeout(400)


def operator(page, server):
    page.add_init_script(f"sessionStorage.setItem('walet.operator-key', '{OPERATOR_KEY}')")
    # Five minutes in a few seconds: the page's clock and the server's run fast together.
    page.clock.install()
    page.goto(server.url + "operator")
    page.wait_for_selector(".keys")
    for _ in range(150):
        server.state.skew += 2
        page.clock.run_for(2000)
        time.sleep(0.02)
    page.wait_for_timeout(300)


def main():
    IMAGES.mkdir(parents=True, exist_ok=True)
    server = MockServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name, make, size in [("chat", chat, (1280, 1110)), ("operator", operator, (1280, 1960))]:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme="light", reduced_motion="reduce")
            make(page, server)
            data = page.screenshot()
            if len(data) > LIMIT:
                # A palette is a third of the size; this method keeps the rare colours.
                picture = Image.open(io.BytesIO(data)).convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
                picture.save(IMAGES / f"{name}.png", optimize=True)
            else:
                (IMAGES / f"{name}.png").write_bytes(data)
            page.close()
            print(f"{IMAGES / name}.png: {(IMAGES / f'{name}.png').stat().st_size} bytes")
        browser.close()
    server.shutdown()


if __name__ == "__main__":
    main()
