#!/bin/sh
# A stage for the box's own scripts: box.sh FOLDER SCRIPT [ARGUMENT…], under `unshare --mount`. Of the host they see FOLDER/cmdline as the
# kernel line, empty /run and /var/lib, and the programs in FOLDER/bin before the real ones. /run is kept in FOLDER/run. What is
# mounted there is shared with name spaces made later, as on a box.
set -eu
folder=$1
shift
mount --bind "$folder/cmdline" /proc/cmdline
mount --bind "$folder/run" /run
mount --bind "$folder/dev" /dev
mount -t tmpfs lib /var/lib
mount --make-rshared /
PATH=$folder/bin:$PATH FOLDER=$folder exec /bin/sh "$@"
