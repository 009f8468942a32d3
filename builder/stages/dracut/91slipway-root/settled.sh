#!/bin/sh
# Sourced by dracut again and again until the mapping is there, and with it the root: a medium may take its time to show up.
[ -b /dev/mapper/slipway-root ] || /sbin/slipway-root open
