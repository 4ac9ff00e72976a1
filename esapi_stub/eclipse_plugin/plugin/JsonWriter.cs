using System;
using System.Collections.Generic;
using System.Globalization;
using System.Linq;
using System.Text;

namespace FdpBridge.Eclipse
{
    /// <summary>
    /// Writes JSON in one way only: keys sorted by code point, no spaces, whole numbers without a decimal point. This is
    /// the form that the bridge's hash is made of.
    /// </summary>
    public static class JsonWriter
    {
        private const double LargestExactWhole = 1e15;

        /// <summary>UTF-8 without byte order mark, and an error for text that is no Unicode.</summary>
        public static readonly UTF8Encoding Utf8 = new UTF8Encoding(false, true);

        public static string Canonical(Json json)
        {
            var text = new StringBuilder();
            Write(json, text);
            return text.ToString();
        }

        private static void Write(Json json, StringBuilder text)
        {
            object value = json.Raw;
            if (value == null)
                text.Append("null");
            else if (value is bool)
                text.Append((bool)value ? "true" : "false");
            else if (value is string)
                WriteText((string)value, text);
            else if (value is Json.Number)
                text.Append(CanonicalNumber((Json.Number)value));
            else if (value is List<Json>)
                WriteJoined("[", json.Items, item => Write(item, text), "]", text);
            else
                WriteJoined("{", Sorted(json.Members), member => WriteMember(member, text), "}", text);
        }

        private static IEnumerable<KeyValuePair<string, Json>> Sorted(IEnumerable<KeyValuePair<string, Json>> members)
        {
            // the order of UTF-8 bytes is the order of code points; that of .NET's UTF-16 is not
            return members.OrderBy(member => BitConverter.ToString(Utf8.GetBytes(member.Key)), StringComparer.Ordinal);
        }

        private static void WriteMember(KeyValuePair<string, Json> member, StringBuilder text)
        {
            WriteText(member.Key, text);
            text.Append(':');
            Write(member.Value, text);
        }

        private static void WriteJoined<T>(
            string open, IEnumerable<T> items, Action<T> write, string close, StringBuilder text)
        {
            text.Append(open);
            bool first = true;
            foreach (T item in items)
            {
                if (!first)
                    text.Append(',');
                first = false;
                write(item);
            }
            text.Append(close);
        }

        /// <summary>
        /// The bridge writes numbers in their shortest form, so the text of a fraction stands; 70.0 and 7E1 become 70.
        /// A fraction in any other form was not written by the bridge, and its hash will not fit.
        /// </summary>
        private static string CanonicalNumber(Json.Number number)
        {
            bool whole = number.Value == Math.Floor(number.Value) && Math.Abs(number.Value) < LargestExactWhole;
            return whole ? ((long)number.Value).ToString(CultureInfo.InvariantCulture) : number.Text;
        }

        private static void WriteText(string value, StringBuilder text)
        {
            text.Append('"');
            foreach (char c in value)
            {
                int named = "\"\\\b\f\n\r\t".IndexOf(c);
                if (named >= 0)
                    text.Append('\\').Append("\"\\bfnrt"[named]);
                else if (c < ' ')
                    text.Append("\\u").Append(((int)c).ToString("x4", CultureInfo.InvariantCulture));
                else
                    text.Append(c);
            }
            text.Append('"');
        }
    }
}
