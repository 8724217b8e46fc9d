import { expect } from 'chai';
import { hubCacheFolder, hubHome } from '../../../../lib/hub/cache/hub_cache.js';

describe('the folder of the hub’s cache', () => {
  it('is that of the hub’s own tools, by their variables', () => {
    const HOME = '/home/me';
    expect(hubCacheFolder({ HOME })).to.equal('/home/me/.cache/huggingface/hub');
    expect(hubCacheFolder({ HOME, XDG_CACHE_HOME: '/c' })).to.equal('/c/huggingface/hub');
    expect(hubCacheFolder({ HOME, XDG_CACHE_HOME: '/c', HF_HOME: '/hf' })).to.equal('/hf/hub');
    expect(hubCacheFolder({ HOME, HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old' })).to.equal('/old');
    expect(hubCacheFolder({ HOME, HF_HUB_CACHE: '/new', HUGGINGFACE_HUB_CACHE: '/old' })).to.equal('/new');
  });

  it('takes an empty variable for none', () => {
    expect(hubCacheFolder({ HOME: '/home/me', HF_HOME: '', HF_HUB_CACHE: '' })).to.equal(
      '/home/me/.cache/huggingface/hub',
    );
  });

  it('may be written with ~ and other variables', () => {
    const env = { HOME: '/home/me', DISK: '/big', HF_HOME: '~/hf', HF_HUB_CACHE: '${DISK}/hub/$NOTHING' };
    expect(hubHome(env)).to.equal('/home/me/hf');
    expect(hubCacheFolder(env)).to.equal('/big/hub/$NOTHING');
  });
});
