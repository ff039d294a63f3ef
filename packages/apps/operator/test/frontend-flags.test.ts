// The service engine may not import the kernel's constants; the operator passes its flags on unread, so the two lists must be one.
import { LbFlag } from '@axoneme/datapath';
import { frontendFlags } from '@axoneme/service';
import { expect, test } from '@jest/globals';

test("the service engine's frontend flags are the kernel's", () => {
  expect(frontendFlags).toEqual(LbFlag);
});
