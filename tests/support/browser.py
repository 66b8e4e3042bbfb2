"""A headless Chromium driven through its DevTools protocol as a person would: keys, mouse, and a look at the page."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",  # WebGL without a GPU
    "--enable-unsafe-swiftshader",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-allow-origins=*",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
)
PATIENCE_S = 180
_SPECIAL = {"Escape": 27, "PageUp": 33, "PageDown": 34, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39}


def find_browser() -> str | None:
    """Path of a Chromium, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


class Browser:
    """One page. failures : messages of errors that the page or the network had;  requests : addresses asked for."""

    def __init__(self, folder: Path, *, width: int = 1366, height: int = 768):
        import websocket

        found = find_browser()
        if found is None:
            pytest.skip("needs a Chromium browser")
        self.process = subprocess.Popen(
            [found, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(folder)},
        )
        self.failures: list[str] = []
        self.requests: list[str] = []
        self._number = 0
        try:
            self._socket = websocket.create_connection(self._address(folder), timeout=PATIENCE_S)
            for part in ("Runtime", "Log", "Page", "Network"):
                self.call(f"{part}.enable")
            self.resize(width, height)
        except BaseException:
            self.process.kill()
            raise

    def _address(self, folder: Path) -> str:
        """Of the page's socket, from the port that the browser chose."""
        file, end = folder / "DevToolsActivePort", time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            if file.is_file() and "\n" in file.read_text():
                port = file.read_text().split()[0]
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/json") as answer:
                    pages = [page for page in json.load(answer) if page["type"] == "page"]
                if pages:
                    return pages[0]["webSocketDebuggerUrl"]
            time.sleep(0.1)
        raise TimeoutError("the browser opened no page")

    def call(self, method: str, **parameters) -> dict:
        """A command of the protocol; events that come meanwhile are kept."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv())
            if answer.get("id") == self._number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer.get("method"), answer.get("params"))

    def _note(self, event: str, told: dict) -> None:
        if event == "Runtime.exceptionThrown":
            self.failures.append(json.dumps(told["exceptionDetails"])[:500])
        elif event == "Log.entryAdded" and told["entry"]["level"] in ("error", "warning"):
            self.failures.append(told["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and told["type"] in ("error", "warning", "assert"):
            self.failures.append(json.dumps(told["args"])[:500])
        elif event == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
        elif event == "Page.javascriptDialogOpening":
            self.call("Page.handleJavaScriptDialog", accept=True)

    def open(self, address: str, *, width: int | None = None, height: int = 900) -> float:
        """Go to a page, in a window of another size if one is given; the seconds until it was read."""
        if width:
            self.resize(width, height)
        self.call("Page.navigate", url="about:blank")
        self.requests.clear()
        start = time.perf_counter()
        self.call("Page.navigate", url=address)
        self.wait(f"location.href === {address!r} && document.readyState === 'complete'")
        self.call("Runtime.evaluate", expression="new Promise(requestAnimationFrame)", awaitPromise=True)
        return time.perf_counter() - start

    def resize(self, width: int, height: int) -> None:
        """Size of the window, in pixels; narrow ones are phones."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)

    def value(self, expression: str):
        """What JavaScript gives in the page; promises are waited for."""
        told = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def wait(self, expression: str) -> float:
        """Wait until it is true in the page; the seconds that it took."""
        start = time.perf_counter()
        while not self.value(expression):
            if time.perf_counter() - start > PATIENCE_S:
                raise TimeoutError(f"{expression}; the page failed with {self.failures}")
            time.sleep(0.02)
        return time.perf_counter() - start

    def key(self, key: str, *, down: bool = True, up: bool = True) -> None:
        """Press a key, or only press it down or let it go."""
        code = _SPECIAL.get(key, ord(key.upper()) if len(key) == 1 else 0)
        for event, wanted in (("keyDown", down), ("keyUp", up)):
            if wanted:
                self.call("Input.dispatchKeyEvent", type=event, key=key, windowsVirtualKeyCode=code)

    def click(self, x: float, y: float) -> None:
        """Click with the left button."""
        for event, button in (("mouseMoved", "none"), ("mousePressed", "left"), ("mouseReleased", "left")):
            self.call("Input.dispatchMouseEvent", type=event, x=x, y=y, button=button, clickCount=int(button == "left"))

    def wheel(self, x: float, y: float, turn: float) -> None:
        """Turn the wheel over a point, downwards."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=turn)

    def press(self, selector: str) -> None:
        """Click into the middle of an element."""
        self.value(f"document.querySelector({selector!r}).scrollIntoView({{block: 'nearest'}})")
        box = self.value(
            f"(r => [r.left + r.width / 2, r.top + r.height / 2])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        self.click(*box)

    def text(self, selector: str) -> str:
        """Text of an element."""
        return self.value(f"document.querySelector({selector!r}).textContent")

    def picture(self, path: Path, *, whole: bool = False) -> Path:
        """Save what is seen, or the whole page, as a PNG."""
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))
        return path

    def print_page(self, path: Path) -> Path:
        """Save the page as PDF."""
        printed = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)
        path.write_bytes(base64.b64decode(printed["data"]))
        return path

    def close(self) -> None:
        """End the browser."""
        self._socket.close()
        self.process.terminate()
        self.process.wait(30)
