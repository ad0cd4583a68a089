# What a page's reader did before, on other pages; `<!-- meanwhile: two_operators -->` says so.

secrets() {
    for name in secret.txt ki.hex opc.hex; do openssl rand -hex 16 > "$name"; done
}

# Does what a scene is, or takes it as the page before left it, where nothing was begun yet.
once() {
    if [ -e "${OPENCARRIER_DATA:-opencarrier-data}" ]; then "$1"; return; fi
    if [ ! -d "$HOME/scenes/$1" ]; then
        mkdir -p "$HOME/scenes"
        "$1"
        cp -R "${OPENCARRIER_DATA:-opencarrier-data}" "$HOME/scenes/$1"
    else
        cp -R "$HOME/scenes/$1" "${OPENCARRIER_DATA:-opencarrier-data}"
    fi
}

two_operators() {
    once two_operators_agree
}

two_operators_agree() {
    opencarrier operator add Lumen --jurisdiction FR --plmn 20893 --realm lumen.example
    opencarrier operator add Baobab --jurisdiction SN --plmn 60801 --realm baobab.example
    opencarrier operator deposit Lumen 500000000
    opencarrier host add Cafe --payout 0x70997970c51812dc3a010c7d01b50e0d17dc79c8
    opencarrier node add cafe-1 --operator Baobab --host Cafe
    opencarrier agreement add --home Lumen --visited Baobab --price-nano 1900
    opencarrier tariff add --operator Lumen --plan prepaid --price-nano 5200
}

a_subscriber() {
    opencarrier subscriber add --operator Lumen --plan prepaid --imsi 208930000000001 \
        --ki-file ki.hex --opc-file opc.hex
    opencarrier subscriber topup 208930000000001 20000000
}

someone_roams() {
    python -m tests.documents.phone cafe-1 208930000000001
}

a_settled_use() {
    secrets
    two_operators
    opencarrier client add 127.0.0.1 --operator Baobab --secret-file secret.txt
    a_subscriber
    opencarrier up
    someone_roams
    opencarrier cycle close
}

# Ends with the shell; `db.example` of a page is it.
a_postgresql_server() {
    python -m tests.documents.database "$PWD.postgresql" < /dev/null > /dev/null 2>&1 &
    until [ -e "$PWD.postgresql" ]; do kill -0 $!; sleep 0.1; done
    . "$PWD.postgresql"
}

given() {
    python -m tests.documents.given "$@"
}

# One record of a month: imported from a transfer file, rated.
a_rated_month() {
    given CDSENBAFRA9300017
    opencarrier usage import CDSENBAFRA9300017 --out records --party FRA93=Lumen --party SENBA=Baobab
    opencarrier agreement list --out book.jsonl
    opencarrier rate --usage records --agreements book.jsonl --out rated
}
