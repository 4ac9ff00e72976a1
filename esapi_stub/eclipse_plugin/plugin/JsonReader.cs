using System;
using System.Collections.Generic;
using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace FdpBridge.Eclipse
{
    /// <summary>Reads JSON (RFC 8259) strictly: no repeated keys, no comments, no NaN, limited nesting.</summary>
    public sealed class JsonReader
    {
        private const int DeepestNesting = 64;

        private static readonly Regex NumberPattern =
            new Regex(@"\G-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?", RegexOptions.CultureInvariant);

        private readonly string text;
        private int at;

        private JsonReader(string text)
        {
            this.text = text;
        }

        /// <summary>Reads one document; throws FormatException where it is not JSON.</summary>
        public static Json Read(string text)
        {
            var reader = new JsonReader(text);
            Json value = reader.ReadValue(0);
            reader.SkipSpace();
            if (reader.at < text.Length)
                throw reader.Wrong("the end");
            return value;
        }

        private Json ReadValue(int depth)
        {
            if (depth > DeepestNesting)
                throw Wrong("less nesting");
            SkipSpace();
            switch (Peek())
            {
                case '{':
                    return Json.Of(ReadMembers(depth));
                case '[':
                    return Json.Of(ReadItems(depth));
                case '"':
                    return Json.Of(ReadText());
                case 't':
                    Expect("true");
                    return Json.Of(true);
                case 'f':
                    Expect("false");
                    return Json.Of(false);
                case 'n':
                    Expect("null");
                    return Json.Null();
                default:
                    return ReadNumber();
            }
        }

        private Dictionary<string, Json> ReadMembers(int depth)
        {
            var members = new Dictionary<string, Json>();
            Expect("{");
            SkipSpace();
            if (Take('}'))
                return members;
            do
            {
                SkipSpace();
                string name = ReadText();
                if (members.ContainsKey(name))
                    throw Wrong("\"" + name + "\" only once");
                SkipSpace();
                Expect(":");
                members.Add(name, ReadValue(depth + 1));
                SkipSpace();
            }
            while (Take(','));
            Expect("}");
            return members;
        }

        private List<Json> ReadItems(int depth)
        {
            var items = new List<Json>();
            Expect("[");
            SkipSpace();
            if (Take(']'))
                return items;
            do
            {
                items.Add(ReadValue(depth + 1));
                SkipSpace();
            }
            while (Take(','));
            Expect("]");
            return items;
        }

        private Json ReadNumber()
        {
            Match match = NumberPattern.Match(text, at);
            if (!match.Success)
                throw Wrong("a value");
            at += match.Length;
            return Json.NumberOf(match.Value);
        }

        private string ReadText()
        {
            var result = new StringBuilder();
            Expect("\"");
            while (!Take('"'))
            {
                char c = Peek();
                if (c < ' ')
                    throw Wrong("a character that prints");
                at++;
                result.Append(c == '\\' ? ReadEscape() : c);
            }
            return result.ToString();
        }

        private char ReadEscape()
        {
            char c = Peek();
            at++;
            int named = "\"\\/bfnrt".IndexOf(c);
            if (named >= 0)
                return "\"\\/\b\f\n\r\t"[named];
            int code;
            if (c != 'u' || at + 4 > text.Length || !int.TryParse(
                    text.Substring(at, 4), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out code))
                throw Wrong("an escape");
            at += 4;
            return (char)code;
        }

        private void SkipSpace()
        {
            while (at < text.Length && " \t\r\n".IndexOf(text[at]) >= 0)
                at++;
        }

        private char Peek()
        {
            if (at >= text.Length)
                throw Wrong("more");
            return text[at];
        }

        private bool Take(char c)
        {
            if (at >= text.Length || text[at] != c)
                return false;
            at++;
            return true;
        }

        private void Expect(string what)
        {
            if (string.CompareOrdinal(text, at, what, 0, what.Length) != 0)
                throw Wrong("'" + what + "'");
            at += what.Length;
        }

        private FormatException Wrong(string expected)
        {
            return new FormatException("expected " + expected + " at character " + at.ToString(CultureInfo.InvariantCulture));
        }
    }
}
