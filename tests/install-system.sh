#!/bin/sh
# Installs the browser that the console's tests drive, where that can be done without asking anybody.
# Where it cannot, those tests are skipped and say which command installs it.
set -u
if command -v chromium >/dev/null 2>&1 || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    exit 0
fi
echo "Installing Chromium for the browser tests ..."
(apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-dejavu-core) \
    >/dev/null 2>&1 || echo "Chromium could not be installed; the browser tests will be skipped."
exit 0
