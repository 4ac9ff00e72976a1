using System;
using System.IO;

namespace FdpBridge.Eclipse
{
    /// <summary>What a site sets, in a JSON file beside the plug-in.</summary>
    public sealed class Settings
    {
        /// <summary>The folder that the bridge hands objectives over in.</summary>
        public readonly string DropFolder;

        /// <summary>Whether to refuse objectives that nobody approved.</summary>
        public readonly bool RequireApproval;

        /// <summary>Whether to optimize once all objectives were taken.</summary>
        public readonly bool Optimize;

        /// <summary>Whether to calculate the dose after that.</summary>
        public readonly bool CalculateDose;

        public Settings(string dropFolder, bool requireApproval, bool optimize, bool calculateDose)
        {
            DropFolder = dropFolder;
            RequireApproval = requireApproval;
            Optimize = optimize;
            CalculateDose = calculateDose;
        }

        /// <summary>Reads the file that has the name of the plug-in and the ending json.</summary>
        public static Settings Beside(string assemblyPath)
        {
            string path = Path.ChangeExtension(assemblyPath, ".json");
            try
            {
                Json json = JsonReader.Read(File.ReadAllText(path));
                var settings = new Settings(
                    json["drop_folder"].Text, json["require_approval"].Flag, json["optimize"].Flag,
                    json["calculate_dose"].Flag);
                if (settings.CalculateDose && !settings.Optimize)
                    throw new Refused("settings", "calculate_dose without optimize: there would be nothing new to calculate.");
                return settings;
            }
            catch (Exception error)
            {
                if (error is FormatException || FileTrouble.Is(error))
                    throw new Refused("settings", "The settings " + path + " cannot be read: " + error.Message);
                throw;
            }
        }
    }
}
