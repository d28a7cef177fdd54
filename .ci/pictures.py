"""The pictures of README, from pages: python .ci/pictures.py PAGE.html PICTURE.webp [SELECTOR]

Needs Chromium and the extra `dev`. `make pictures` makes the pages, too.
"""

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

page_file, picture, *selector = sys.argv[1:]
chromium = shutil.which("chromium") or shutil.which("google-chrome")
with sync_playwright() as browsers:
    sandboxed = os.geteuid() != 0
    browser = browsers.chromium.launch(executable_path=chromium, chromium_sandbox=sandboxed)
    height = 2000 if selector else 800  # of a part: so that nothing lies over it
    page = browser.new_page(viewport={"width": 1300, "height": height}, device_scale_factor=1.5)
    page.goto(Path(page_file).resolve().as_uri())
    page.wait_for_timeout(500)  # until the pictures are there
    shot = page.locator(selector[0]).screenshot() if selector else page.screenshot()
    browser.close()
Image.open(io.BytesIO(shot)).save(picture, quality=80)
print(f"{picture}: {Path(picture).stat().st_size / 1000:.0f} kB")
