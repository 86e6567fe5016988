#!/bin/sh
# Installs what some tests run against (a browser, Redis, Memcached, Tesseract), where that can be done without asking anybody.
# Where it cannot, those tests are skipped and say which command installs it.
set -u
missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium fonts-dejavu-core"
command -v redis-server >/dev/null 2>&1 || missing="$missing redis-server"
command -v memcached >/dev/null 2>&1 || missing="$missing memcached"
command -v tesseract >/dev/null 2>&1 || missing="$missing tesseract-ocr"
if [ -z "$missing" ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null 2>&1; then
    exit 0
fi
echo "Installing$missing for the tests ..."
# Packages that start a service must not: the tests start their own.
(apt-get update -qq && RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get install -y -qq $missing) >/dev/null 2>&1 ||
    echo "Not everything could be installed; the tests that need it will be skipped."
exit 0
