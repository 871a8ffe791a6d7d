# Runs carbon-cache: sh carbon.sh FOLDER PORT QUERY_PORT
#
# No limits on its cache, and nothing written to disk, which would take points out of the cache at
# 500 series a second and drop those beyond 50 new series a minute: by this order of writing a
# point waits until it is sixty years old.
cat > "$1/carbon.conf" <<END
[cache]
STORAGE_DIR = $1
LOCAL_DATA_DIR = $1
CONF_DIR = $1
LOG_DIR = $1
PID_DIR = $1
USER =
MAX_CACHE_SIZE = inf
USE_FLOW_CONTROL = False
LINE_RECEIVER_INTERFACE = 127.0.0.1
LINE_RECEIVER_PORT = $2
PICKLE_RECEIVER_PORT = 0
CACHE_QUERY_INTERFACE = 127.0.0.1
CACHE_QUERY_PORT = $3
CACHE_WRITE_STRATEGY = timesorted
MIN_TIMESTAMP_LAG = 2000000000
CARBON_METRIC_INTERVAL = 0
LOG_LISTENER_CONN_SUCCESS = False
LOG_CACHE_HITS = False
ENABLE_LOGROTATION = False
END
printf '[all]\npattern = .*\nretentions = 10s:1d\n' > "$1/storage-schemas.conf"
exec carbon-cache --config="$1/carbon.conf" --logdir="$1" --nodaemon start
