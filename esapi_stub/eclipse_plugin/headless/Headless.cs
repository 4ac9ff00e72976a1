// Runs the plug-in without Eclipse: builds a patient in the stub from a JSON request, answers the plug-in's questions,
// and says as JSON what was asked, told, and left in the plan.

using System;
using System.Collections.Generic;
using System.Globalization;
using System.IO;
using System.Linq;
using System.Reflection;
using System.Threading;
using FdpBridge.Eclipse;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

[assembly: AssemblyTitle("headless")]

namespace FdpBridge.Headless
{
    internal static class Program
    {
        private static int Main(string[] arguments)
        {
            if (arguments.Length == 2 && arguments[0] == "members")
                return Print(Members.Of(Assembly.LoadFrom(arguments[1])), Console.Out);
            if (arguments.Length != 3 || arguments[0] != "run")
            {
                Console.Error.WriteLine("headless run REQUEST.json RESULT.json | headless members ASSEMBLY.dll");
                return 2;
            }
            Json request = JsonReader.Read(File.ReadAllText(arguments[1]));
            Thread.CurrentThread.CurrentCulture = new CultureInfo(request["culture"].Text);
            using (var result = new StreamWriter(arguments[2], false, JsonWriter.Utf8))
                return Print(Run(request), result);
        }

        private static int Print(Json json, TextWriter to)
        {
            to.WriteLine(JsonWriter.Canonical(json));
            return 0;
        }

        private static Json Run(Json request)
        {
            var world = new World(request);
            string assembly = request["assembly"].Text;
            var runs = new List<Json>();
            foreach (Json answers in request["runs"].Items)
            {
                var dialog = new Recorder(
                    answers.Items.Select(answer => answer.Text), request["removed_while_asked"].Items.Select(item => item.Text));
                world.Host.Modifiable = false;
                if (request["folder"].IsNull)
                    HandOver.Start(assembly, dialog, world.Patient, world.Plan);
                else
                    new HandOver(Settings.Beside(assembly), dialog).Offer(
                        new HandOverFolder(request["folder"].Text), world.Patient, world.Plan);
                runs.Add(dialog.ToJson());
            }
            Dictionary<string, Json> left = world.ToJson();
            left.Add("runs", Json.Of(runs));
            left.Add("decimal_mark", Json.Of(CultureInfo.CurrentCulture.NumberFormat.NumberDecimalSeparator));
            return Json.Of(left);
        }
    }

    /// <summary>Answers from a list, and remembers what was asked and told; meanwhile files may go.</summary>
    internal sealed class Recorder : IDialog
    {
        private readonly Queue<string> answers;
        private readonly IEnumerable<string> removedWhileAsked;
        private readonly List<Json> asked = new List<Json>();
        private readonly List<Json> told = new List<Json>();

        internal Recorder(IEnumerable<string> answers, IEnumerable<string> removedWhileAsked)
        {
            this.answers = new Queue<string>(answers);
            this.removedWhileAsked = removedWhileAsked;
        }

        public Answer Ask(string text)
        {
            asked.Add(Json.Of(text));
            foreach (string path in removedWhileAsked)
                File.Delete(path);
            return (Answer)Enum.Parse(typeof(Answer), answers.Dequeue());
        }

        public void Tell(string text)
        {
            told.Add(Json.Of(text));
        }

        internal Json ToJson()
        {
            return Json.Of(new Dictionary<string, Json> { { "asked", Json.Of(asked) }, { "told", Json.Of(told) } });
        }
    }
}
