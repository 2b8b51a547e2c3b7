// OpenID Connect providers for tests: real ones (the npm package oidc-provider), each on a port of its own, with a door
// beside it (/test/...) by which a test signs tokens of any kind, exchanges the keys, and takes the provider away.
//
// `POST /new` to the address that is printed makes one, and answers its issuer. The end of standard input ends them all.

import crypto from 'node:crypto';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

// What it has to say of use in earnest.
console.info = console.warn = () => {};

const require = createRequire(path.join(process.env.PYMD_TEST_OIDC, 'package.json'));
const { default: Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const CLIENT = 'pymd';
const SECRET = 'a secret: of + the/client';
const AUDIENCE = 'https://api.pymd.example';
const b64 = (data) => Buffer.from(data).toString('base64url');
const KINDS = {
  RS256: ['rsa', { modulusLength: 2048 }],
  ES256: ['ec', { namedCurve: 'P-256' }],
  ES384: ['ec', { namedCurve: 'P-384' }],
  EdDSA: ['ed25519', {}],
};
// Making RSA keys is slow.
const spare = crypto.generateKeyPairSync('rsa', { modulusLength: 2048 });
let serial = 0;

function newKeys() {
  return Object.entries(KINDS).map(([alg, [type, options]]) => {
    const kid = `${alg}-${(serial += 1)}`;
    const { privateKey, publicKey } = crypto.generateKeyPairSync(type, options);
    return { kid, alg, privateKey, publicKey };
  });
}

function sign(alg, key, data) {
  const padding = crypto.constants.RSA_PKCS1_PSS_PADDING;
  switch (alg) {
    case 'RS256': return crypto.sign('sha256', data, key);
    case 'RS384': return crypto.sign('sha384', data, key);
    case 'RS512': return crypto.sign('sha512', data, key);
    case 'PS256': return crypto.sign('sha256', data, { key, padding, saltLength: 32 });
    case 'ES256': return crypto.sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' });
    case 'ES384': return crypto.sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' });
    case 'EdDSA': return crypto.sign(null, data, key);
    default: return Buffer.alloc(0);
  }
}

async function body(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text ? JSON.parse(text) : {};
}

async function start() {
  const server = http.createServer();
  await new Promise((done) => server.listen(0, '127.0.0.1', done));
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const state = { keys: newKeys(), away: false, asked: 0, people: {}, override: {} };
  let handle;
  const rebuild = () => {
    const jwks = { keys: state.keys.map(({ kid, alg, privateKey }) => ({ ...privateKey.export({ format: 'jwk' }), kid, alg, use: 'sig' })) };
    const provider = new Provider(issuer, {
      jwks,
      clients: [{
        client_id: CLIENT,
        client_secret: SECRET,
        // A client of this kind may be on any port of this machine.
        application_type: 'native',
        grant_types: ['authorization_code', 'client_credentials'],
        redirect_uris: ['http://127.0.0.1/api/v1/auth/callback'],
        post_logout_redirect_uris: ['http://127.0.0.1/'],
      }],
      claims: { openid: ['sub'], profile: ['name', 'picture'], email: ['email'] },
      findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...(state.people[id] ?? {}) }) }),
      cookies: { keys: ['of the tests'] },
      pkce: { required: () => true },
      features: {
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: () => ({ scope: 'api', audience: AUDIENCE, accessTokenFormat: 'jwt' }),
        },
      },
    });
    provider.on('server_error', (_, error) => console.error(error));
    handle = provider.callback();
  };
  rebuild();

  const doors = {
    // A token: `claims` and `header` are put over the usual ones, null takes one away.
    '/test/mint': ({ alg = 'RS256', claims = {}, header = {}, how = 'usual', keep }) => {
      const now = Math.floor(Date.now() / 1000);
      const key = (keep ?? state.keys).find((each) => each.alg === alg) ?? state.keys[0];
      const clean = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== null));
      const head = clean({ alg, typ: 'JWT', kid: key.kid, ...header });
      const said = clean({ iss: issuer, aud: AUDIENCE, sub: 'ada', iat: now, exp: now + 300, ...claims });
      const data = Buffer.from(`${b64(JSON.stringify(head))}.${b64(JSON.stringify(said))}`);
      let signature;
      if (how === 'usual') signature = sign(alg, key.privateKey, data);
      else if (how === 'other key') signature = sign('RS256', spare.privateKey, data);
      else if (how === 'none') signature = Buffer.alloc(0);
      else if (how === 'der') signature = crypto.sign('sha256', data, key.privateKey);
      else if (how === 'public pem') signature = crypto.createHmac('sha256', key.publicKey.export({ type: 'spki', format: 'pem' })).update(data).digest();
      else if (how === 'public der') signature = crypto.createHmac('sha256', key.publicKey.export({ type: 'spki', format: 'der' })).update(data).digest();
      else if (how === 'empty secret') signature = crypto.createHmac('sha256', '').update(data).digest();
      return { token: `${data}.${b64(signature)}`, public_jwk: spare.publicKey.export({ format: 'jwk' }) };
    },
    '/test/rotate': () => { state.keys = newKeys(); rebuild(); return {}; },
    '/test/away': ({ away }) => { state.away = away; return {}; },
    '/test/people': (people) => { Object.assign(state.people, people); return {}; },
    // Answers instead of the provider's, by path.
    '/test/answers': (answers) => { state.override = answers; return {}; },
    '/test/asked': () => ({ asked: state.asked }),
  };
  server.on('request', async (request, response) => {
    const at = new URL(request.url, issuer).pathname;
    const answer = (status, value) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(typeof value === 'string' ? value : JSON.stringify(value));
    };
    try {
      if (doors[at]) return answer(200, doors[at](await body(request)));
      if (at === '/jwks') state.asked += 1;
      if (state.away) return answer(503, {});
      if (at in state.override) return answer(200, state.override[at]);
      return handle(request, response);
    } catch (error) {
      console.error(error);
      return answer(500, { error: String(error) });
    }
  });
  return { issuer, client_id: CLIENT, client_secret: SECRET, audience: AUDIENCE };
}

const main = http.createServer(async (request, response) => {
  const made = await start();
  response.writeHead(200, { 'content-type': 'application/json' });
  response.end(JSON.stringify(made));
});
main.listen(0, '127.0.0.1', () => console.log(`Running on http://127.0.0.1:${main.address().port}`));
process.stdin.on('end', () => process.exit(0)).resume();
