/**
 * OpenSSL's configuration of the box in FIPS mode, for Node.js (which reads `nodejs_conf`) and the openssl program alike. The
 * default provider is left out, so nothing that is not approved can be reached. `fipsmodule.cnf` is made by the bootstrap
 * stage from the provider's own file.
 */
export const OPENSSL_FIPS_CNF = `nodejs_conf = slipway
openssl_conf = slipway

.include /etc/slipway/fipsmodule.cnf

[slipway]
providers = slipway_providers
alg_section = slipway_algorithms

[slipway_providers]
base = slipway_base
fips = fips_sect

[slipway_base]
activate = 1

[slipway_algorithms]
default_properties = fips=yes

[req]
distinguished_name = slipway_name

[slipway_name]
`;

/** Where it stands on the box. */
export const OPENSSL_FIPS_PATH = "etc/slipway/openssl-fips.cnf";
