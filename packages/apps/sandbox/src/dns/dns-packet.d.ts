// The part of dns-packet the DNS server uses; the package ships no types.
declare module 'dns-packet' {
  export interface Question {
    readonly type: string;
    readonly name: string;
    readonly class?: string;
  }
  export interface Packet {
    readonly id?: number;
    readonly type?: 'query' | 'response';
    readonly flags?: number;
    readonly questions?: readonly Question[];
    readonly answers?: readonly unknown[];
    readonly authorities?: readonly unknown[];
    readonly additionals?: readonly unknown[];
  }
  export const AUTHORITATIVE_ANSWER: number;
  export const RECURSION_DESIRED: number;
  export const RECURSION_AVAILABLE: number;
  export const TRUNCATED_RESPONSE: number;
  export function decode(buf: Buffer): Packet;
  export function encode(packet: Packet): Buffer;
}
