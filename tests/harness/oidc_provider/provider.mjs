// A real OpenID provider, strict about refresh tokens: one that is used twice ends its grant.
// node provider.mjs PORT CALLBACK; it prints "up", and what it counts is at /stats.
import { Provider } from 'oidc-provider';

const [port, callback] = [Number(process.argv[2]), process.argv[3]];
const stats = { refreshed: 0, revoked: 0, held: 0, dropped: 0, errors: [] };
let hold = false;

const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { client_id: 'robot', client_secret: 's3cret-planted', grant_types: ['client_credentials'], redirect_uris: [],
      response_types: [], token_endpoint_auth_method: 'client_secret_basic', scope: 'read write' },
    { client_id: 'person', client_secret: 's3cret-planted', grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: [callback], response_types: ['code'], token_endpoint_auth_method: 'client_secret_post' },
    { client_id: 'device', token_endpoint_auth_method: 'none', redirect_uris: [], response_types: [],
      grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'], application_type: 'native' },
  ],
  scopes: ['openid', 'offline_access', 'read', 'write'],
  features: {
    clientCredentials: { enabled: true }, deviceFlow: { enabled: true }, revocation: { enabled: true },
    introspection: { enabled: true }, devInteractions: { enabled: true },
  },
  ttl: { AccessToken: 3600, ClientCredentials: 3600, RefreshToken: 86400, Interaction: 600, Session: 600, Grant: 86400,
    IdToken: 600, DeviceCode: 600 },
  rotateRefreshToken: true,
  issueRefreshToken: async () => true,
  pkce: { required: () => true },
  cookies: { keys: ['k'] },
  findAccount: (ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
});

provider.use(async (ctx, next) => {
  if (ctx.path === '/stats') { ctx.body = stats; return; }
  if (ctx.path === '/hold') { hold = true; ctx.body = {}; return; }
  if (ctx.path === '/token' && hold) {
    // The next request is not processed: it waits until its client is gone.
    hold = false;
    stats.held += 1;
    await new Promise((resolve) => ctx.req.socket.once('close', resolve));
    stats.dropped += 1;
    return;
  }
  await next();
});
provider.on('grant.success', (ctx) => { if (ctx.oidc.params.grant_type === 'refresh_token') stats.refreshed += 1; });
provider.on('grant.revoked', () => { stats.revoked += 1; });
provider.on('grant.error', (ctx, error) => { stats.errors.push(error.error); });
provider.listen(port, '127.0.0.1', () => console.log('up'));
